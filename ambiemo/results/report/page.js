// What a reader does with the page: sort, filter, browse, see where a number is from.
// Every text goes into the page as textContent; nothing is ever parsed as HTML.
"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const data = (id) => { const found = document.getElementById(id); return found ? JSON.parse(found.textContent) : null; };
  const make = (tag, text = "", classes = "") => {
    const one = document.createElement(tag);
    if (text !== "") one.textContent = text;
    if (classes) one.className = classes;
    return one;
  };
  const draw = (tag, attributes) => {
    const one = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
    return one;
  };
  const kept = { get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
                 set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* a page from the disk may keep nothing */ } } };

  // Light and dark
  const theme = document.getElementById("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const named = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  if (["light", "dark"].includes(kept.get("ambiemo-theme"))) root.dataset.theme = kept.get("ambiemo-theme");
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; kept.set("ambiemo-theme", root.dataset.theme); named(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", named);
  named();

  // One model and corpus at a time, where there are several
  const unit = document.getElementById("unit");
  const showUnit = () => all("[data-unit]").forEach((one) => { one.hidden = unit.value !== "" && one.dataset.unit !== "" && one.dataset.unit !== unit.value; });
  if (unit) { unit.closest("label").hidden = false; unit.addEventListener("change", () => { showUnit(); all("table.grid").forEach(counted); }); showUnit(); }

  // Sort and filter
  const text = (cell) => cell.textContent.trim();
  const value = (cell) => { const found = text(cell).match(/^-?(\d+\.?\d*|inf)/); return found ? (found[0].endsWith("inf") ? (found[0][0] === "-" ? -Infinity : Infinity) : Number(found[0])) : NaN; };
  const compare = (a, b, numeric) => {
    if (!numeric) return a.localeCompare(b, "en", { numeric: true });
    const x = a, y = b;
    return Number.isNaN(x) ? (Number.isNaN(y) ? 0 : 1) : Number.isNaN(y) ? -1 : x - y;
  };
  const order = (list, key, numeric, up) => {
    const keyed = list.map((one, place) => [key(one), place, one]);
    keyed.sort((a, b) => {
      if (numeric && (Number.isNaN(a[0]) || Number.isNaN(b[0]))) return compare(a[0], b[0], true) || a[1] - b[1]; // what has no value stays last
      return (up ? 1 : -1) * compare(a[0], b[0], numeric) || a[1] - b[1];
    });
    return keyed.map((one) => one[2]);
  };
  const sortable = (heads, sorted) => heads.forEach((head, place) => {
    const button = make("button", head.textContent);
    button.type = "button";
    head.textContent = "";
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      sorted(place, head.classList.contains("num"), up);
    });
  });
  const matches = (needle, hay) => needle.toLowerCase().split(/\s+/).every((part) => hay.toLowerCase().includes(part));
  const counted = (table) => {
    const rows = all("tbody tr", table), seen = rows.filter((row) => !row.hidden && !row.classList.contains("out"));
    const told = table.closest(".gridbox").querySelector(".count");
    told.textContent = seen.length === rows.length ? `${rows.length} rows` : `${seen.length} of ${rows.length} rows`;
  };
  const search = (name, changed) => {
    const label = make("label", "Filter"), input = make("input");
    input.type = "search"; input.setAttribute("aria-label", `Filter ${name}`); input.autocomplete = "off";
    input.addEventListener("input", () => changed(input.value.trim()));
    label.append(input);
    return label;
  };
  all("table.grid").forEach((table) => {
    const box = table.closest(".gridbox"), body = table.tBodies[0], tools = make("div", "", "tools"), count = make("span", "", "count");
    count.setAttribute("role", "status");
    tools.append(search(table.caption.textContent, (needle) => {
      all("tr", body).forEach((row) => row.classList.toggle("out", needle !== "" && !matches(needle, text(row))));
      counted(table);
    }), count);
    box.prepend(tools);
    sortable(all("thead th", table), (place, numeric, up) =>
      body.append(...order(all("tr", body), (row) => numeric ? value(row.cells[place]) : text(row.cells[place]), numeric, up)));
    counted(table);
  });

  // Where a number is from: pointed at, focused, or walked to with the arrow keys inside a table
  const told = document.getElementById("source"), bundle = root.dataset.bundle;
  let at = null;
  const tell = (number) => {
    if (at) at.classList.remove("at");
    at = number;
    told.hidden = !number;
    if (!number) return;
    number.classList.add("at");
    const { table, row, column } = number.dataset;
    told.textContent = `${table} row ${row} ${column} = ${number.textContent || "empty"}`;
    if (table === "results.csv") told.textContent += `    ambiemo trace ${bundle} results ${row} ${column}`;
  };
  document.addEventListener("mouseover", (event) => { const one = event.target.closest?.(".n"); if (one) tell(one); else if (at && !at.closest(".scroll:focus")) tell(null); });
  document.addEventListener("focusin", (event) => { if (event.target.matches?.(".n")) tell(event.target); else if (at) tell(null); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tell(null); });
  const walk = (box) => box.addEventListener("keydown", (event) => {
    if (event.target !== box || event.metaKey || event.ctrlKey || event.altKey) return;
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!steps) return;
    const rows = all("tbody tr", box).filter((row) => row.offsetParent && all(".n", row).length);
    if (!rows.length) return;
    const here = at && box.contains(at) ? rows.indexOf(at.closest("tr")) : -1;
    const row = here < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, here + steps[0]));
    const column = here < 0 ? 0 : all(".n", rows[here]).indexOf(at) + steps[1];
    const numbers = all(".n", rows[row]), next = numbers[Math.min(numbers.length - 1, Math.max(0, column))];
    tell(next);
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
    event.preventDefault();
  });
  all(".scroll").forEach(walk);

  // All tables, whole
  const raw = document.getElementById("raw");
  if (raw) {
    const pick = document.getElementById("table-pick"), box = raw.querySelector(".scroll"), tools = raw.querySelector(".tools"), STEP = 200;
    const count = make("span", "", "count"); count.setAttribute("role", "status");
    let table = null, rows = [], needle = "", shownRows = STEP, name = "";
    const line = (row) => {
      const made = make("tr");
      row.cells.forEach((cell, place) => {
        const td = make("td", "", table.numeric[place] ? "num" : "words"), span = make("span", cell, "n");
        span.dataset.table = `${name}.csv`; span.dataset.row = row.number; span.dataset.column = table.columns[place];
        span.title = `${name}.csv row ${row.number} ${table.columns[place]}`;
        td.append(span); made.append(td);
      });
      return made;
    };
    const fill = () => {
      const found = rows.filter((row) => needle === "" || matches(needle, row.cells.join(" ")));
      box.querySelector("tbody").replaceChildren(...found.slice(0, shownRows).map(line));
      more.hidden = found.length <= shownRows;
      count.textContent = `${Math.min(found.length, shownRows)} of ${found.length} rows` + (found.length < rows.length ? ` (of ${rows.length})` : "");
    };
    const more = make("button", "Show 200 more rows"); more.type = "button";
    more.addEventListener("click", () => { shownRows += STEP; fill(); });
    const open = () => {
      name = pick.value;
      const read = data(`table-${name}`);
      const numeric = read.columns.map((_, place) => read.rows.some((row) => row[place] !== "") && read.rows.every((row) => /^(-?(\d+(\.\d+)?|inf))?$/.test(row[place])));
      table = { columns: read.columns, numeric };
      rows = read.rows.map((cells, place) => ({ cells, number: place + 2 }));
      shownRows = STEP;
      const made = make("table"), head = make("tr"), caption = make("caption", `${name}.csv`, "sr");
      read.columns.forEach((column, place) => { const th = make("th", column, numeric[place] ? "num" : ""); th.scope = "col"; head.append(th); });
      const thead = make("thead"); thead.append(head);
      made.append(caption, thead, make("tbody"));
      box.replaceChildren(made);
      box.setAttribute("aria-label", `${name}.csv`);
      sortable(all("th", head), (place, isNumber, up) => { rows = order(rows, (row) => isNumber ? (row.cells[place] === "" ? NaN : Number(row.cells[place].replace("inf", "Infinity"))) : row.cells[place], isNumber, up); fill(); });
      fill();
    };
    tools.append(search("the table", (value) => { needle = value; shownRows = STEP; fill(); }), count);
    raw.append(more);
    pick.addEventListener("change", open);
    const lazily = new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) { lazily.disconnect(); open(); } }, { rootMargin: "600px" });
    lazily.observe(raw);
  }

  // The utterances
  const browser = document.getElementById("browse");
  const known = data("utterances"), audio = data("audio") || {};
  if (browser && known && known.utterances.length) {
    const list = browser.querySelector(".list"), detail = browser.querySelector(".detail");
    const find = document.getElementById("find"), sorting = document.getElementById("sorting"), model = document.getElementById("browse-model"), count = document.getElementById("found");
    let seen = [], chosen = 0;
    const number = (value, places = 3) => value === null || value === undefined ? "–" : value.toFixed(places);
    const label = (column) => known.columns[column];
    const main = (one) => { const own = one.predictions[model.value] || []; return own.length ? own[0] : null; };
    const keys = {
      id: [(one) => one.id, false, true],
      entropy: [(one) => one.entropy, true, false],
      worst: [(one) => main(one)?.js ?? NaN, true, false],
      best: [(one) => main(one)?.js ?? NaN, true, true],
    };
    const bars = (shares, truth, wide, high, classes) => {
      const svg = draw("svg", { viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", "aria-hidden": "true" }), step = wide / truth.length;
      svg.append(draw("line", { x1: 0, x2: wide, y1: high - 0.5, y2: high - 0.5, class: "base" }));
      truth.forEach((share, place) => {
        const x = place * step + step * 0.14, w = step * 0.72;
        if (shares) { const h = shares[place] * (high - 2); svg.append(draw("rect", { x, y: high - 1 - h, width: w, height: h, class: classes })); }
        const y = high - 1 - share * (high - 2);
        if (share > 0) svg.append(draw("line", { x1: x - step * 0.08, x2: x + w + step * 0.08, y1: y, y2: y, class: "tick" }));
      });
      return svg;
    };
    const spoken = (labels, shares) => labels.map((name, place) => `${name} ${shares[place].toFixed(2)}`).join(", ");
    const truthTable = (one, labels) => {
      const table = make("table", "", "truth");
      table.append(make("caption", "Truth by label, with its interval", "sr"));
      const head = make("tr"); ["label", "share", "votes"].forEach((name) => { const th = make("th", name, "sr"); th.scope = "col"; head.append(th); });
      const thead = make("thead"); thead.append(head); table.append(thead);
      const body = make("tbody");
      labels.forEach((name, place) => {
        const row = make("tr"), th = make("th", name); th.scope = "row";
        const svg = draw("svg", { viewBox: "0 0 200 14", preserveAspectRatio: "none", "aria-hidden": "true" });
        svg.append(draw("line", { x1: 0, x2: 200, y1: 13.5, y2: 13.5, class: "base" }));
        svg.append(draw("rect", { x: 0, y: 2, width: 200 * one.truth[place], height: 9, class: "truthbar" }));
        if (one.low) svg.append(draw("line", { x1: 200 * one.low[place], x2: 200 * one.high[place], y1: 6.5, y2: 6.5, class: "whisk" }));
        const cell = make("td"); cell.append(svg);
        const range = one.low ? ` [${number(one.low[place], 2)}, ${number(one.high[place], 2)}]` : "";
        row.append(th, cell, make("td", `${one.votes[place]}  ·  ${number(one.truth[place], 2)}${range}`, "num"));
        body.append(row);
      });
      table.append(body);
      return table;
    };
    const show = () => {
      const one = seen[chosen];
      all("li", list).forEach((item, place) => item.setAttribute("aria-selected", String(place === chosen)));
      if (!one) { detail.replaceChildren(make("p", "No utterance has these words.")); list.removeAttribute("aria-activedescendant"); return; }
      const item = list.children[chosen];
      list.setAttribute("aria-activedescendant", item.id);
      // only the list scrolls: scrollIntoView would move the page, which opens at its top
      const box = list.getBoundingClientRect(), at = item.getBoundingClientRect();
      list.scrollTop += Math.min(0, at.top - box.top) + Math.max(0, at.bottom - box.bottom);
      const labels = known.labels[one.corpus];
      const made = [make("h3", one.id)];
      const sum = one.votes.reduce((a, b) => a + b, 0);
      made.push(make("p", `${one.corpus} · speaker ${one.speaker || "not named"} · ${one.level} ambiguity, ${number(one.entropy, 2)} bits · ${one.seconds} s · clip ${one.sha.slice(0, 12)}`, "small"));
      const clip = audio[one.id];
      if (clip) {
        if (clip.href) { const player = make("audio"); player.controls = true; player.preload = "none"; player.src = clip.href; player.setAttribute("aria-label", `The clip of ${one.id}`); made.push(player); }
        else made.push(make("p", clip.why, "lack"));
      }
      made.push(make("h4", `Truth: ${sum} votes`), truthTable(one, labels));
      const own = one.predictions[model.value] || [], base = one.predictions.baselines || [];
      made.push(make("h4", "Predictions"), make("p", `Bars: ${labels.join(", ")}. Ticks: the truth.`, "small"));
      const grid = make("div", "", "shares");
      [...own, ...base].forEach((each) => {
        const box = make("div", "", "share");
        box.append(make("b", label(each.column)), bars(each.shares, one.truth, 120, 40, "pred"));
        box.append(make("small", each.shares ? `JS ${number(each.js)} bits` : each.failure));
        if (each.shares) box.append(make("span", spoken(labels, each.shares), "sr"));
        grid.append(box);
      });
      made.push(grid);
      (one.candidates[model.value] || []).forEach((question) => {
        const more = make("details"), summary = make("summary", `Candidates of ${question.name}: ${question.rows.length}`), scroll = make("div", "", "scroll");
        scroll.tabIndex = 0; scroll.setAttribute("role", "group"); scroll.setAttribute("aria-label", `Candidates of ${question.name}`);
        const table = make("table", "", "cand"), head = make("tr"), body = make("tbody");
        ["#", "read as", "log-likelihood", "score", "tokens", "verdict", "what it said"].forEach((name) => { const th = make("th", name); th.scope = "col"; head.append(th); });
        question.rows.forEach((each, place) => {
          const row = make("tr"), read = make("td");
          if (each[5]) { read.append(bars(each[5], one.truth, 110, 26, "pred"), make("span", spoken(labels, each[5]), "sr")); } else read.textContent = "not read";
          row.append(make("td", String(place + 1)), read, make("td", number(each[2]), "num"), make("td", each[3] === null ? "" : String(each[3]), "num"), make("td", each[4] === null ? "" : String(each[4]), "num"), make("td", each[1]));
          const said = make("td"); said.append(make("div", each[0], "said")); row.append(said);
          body.append(row);
        });
        const thead = make("thead"); thead.append(head);
        table.append(thead, body); scroll.append(table); more.append(summary, scroll); made.push(more);
      });
      detail.replaceChildren(...made);
    };
    const fill = () => {
      const [key, numeric, up] = keys[sorting.value];
      const needle = find.value.trim();
      const wanted = known.utterances.filter((one) => needle === "" || matches(needle, `${one.id} ${one.speaker} ${one.corpus} ${one.level}`));
      seen = order(wanted, key, numeric, up);
      chosen = 0;
      list.replaceChildren(...seen.map((one, place) => {
        const item = make("li"), js = main(one)?.js;
        item.id = `u${place}`; item.setAttribute("role", "option");
        item.append(make("span", one.id), make("small", `${number(one.entropy, 2)} · ${number(js ?? null, 2)}`));
        return item;
      }));
      count.textContent = `${seen.length} of ${known.utterances.length}`;
      show();
    };
    const go = (place) => { chosen = Math.min(seen.length - 1, Math.max(0, place)); show(); };
    const moves = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    list.addEventListener("click", (event) => { const item = event.target.closest("li"); if (item) { list.focus({ preventScroll: true }); go([...list.children].indexOf(item)); } });
    browser.addEventListener("keydown", (event) => {
      if (event.metaKey || event.ctrlKey || event.altKey) return;
      const typing = event.target.matches("input, select, audio");
      if (event.key in moves && (event.target === list || (!typing && event.key.length === 1))) { go(chosen + moves[event.key]); event.preventDefault(); }
      else if (event.target === list && event.key === "Home") { go(0); event.preventDefault(); }
      else if (event.target === list && event.key === "End") { go(seen.length - 1); event.preventDefault(); }
      else if (event.target === find && ["ArrowDown", "Enter"].includes(event.key)) { list.focus(); event.preventDefault(); }
      else if (event.target === find && event.key === "Escape") { find.value = ""; fill(); list.focus(); }
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && !event.target.matches("input, select, textarea") && !event.metaKey && !event.ctrlKey && !event.altKey) { find.focus(); find.scrollIntoView({ block: "nearest" }); event.preventDefault(); }
    });
    find.addEventListener("input", fill);
    sorting.addEventListener("change", fill);
    model.addEventListener("change", fill);
    fill();
  }

  // Which section is read
  const links = new Map(all("nav.contents a").map((link) => [link.getAttribute("href").slice(1), link]));
  const spy = new IntersectionObserver((seen) => seen.forEach((one) => {
    if (one.isIntersecting) links.forEach((link, id) => { const here = id === one.target.id; link.classList.toggle("here", here); if (here) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current"); });
  }), { rootMargin: "-10% 0px -80% 0px" });
  all("main section[id]").forEach((one) => spy.observe(one));
  root.dataset.ready = "yes";
})();
