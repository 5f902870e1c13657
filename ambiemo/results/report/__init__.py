"""The page about a bundle: one HTML file that needs no network, and the same figures for a paper.

`cells`        a table's CSV as cells that know their row and column
`words`        the summary in words, made from verdicts
`grids`        the tables of the page
`calibration`  reliability by bins of confidence, from predictions
`figures`      the figures, by matplotlib
`svg`          a matplotlib SVG made fit for the page: classes in place of colours, no style attribute
`page`         all of it in one file: page.html.jinja, page.css, page.js

Why matplotlib, and no plotting library in JavaScript:

- A library such as vega-lite or Observable Plot would have to lie in this repository, minified, as
  code that nobody here reads, and its licence with it. matplotlib is a dependency anyway.
- Its SVG is a function of the numbers (fixed `svg.hashsalt`, no date), so `ambiemo verify` can draw
  a page again and compare bytes. A chart drawn in the browser can only be looked at.
- The same function draws the SVG of the page and the PDF of a paper.
- A figure is there without JavaScript, in print, and for a search of its text.

What a reader does with the page (sort, filter, browse) is some 400 lines of our own JavaScript,
`page.js`, which runs only because its hash is in the page's Content-Security-Policy.
"""
