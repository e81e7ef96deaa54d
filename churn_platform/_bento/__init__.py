"""The HTTP API of the folder `bento/`, under a name that no other package has."""

from churn_platform.adapters.serving.baked import API

__path__ = [str(API)]
