"""The HTTP API, served by BentoML: it answers with the model in production. Imports core and adapters, never a tool."""
