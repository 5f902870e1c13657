"""Real HTTP servers on loopback for the tests of the OpenAI-compatible engine."""
