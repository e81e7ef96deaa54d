"""The HTTP API: a FastAPI app in a BentoML service.

`app` has the routes, `models` and `schemas` the bodies, `predictions` the answers. `server`
builds the API of one home, and `service` runs it in BentoML's workers.
"""
