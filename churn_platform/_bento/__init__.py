"""The HTTP API of the folder `bento/`, under a name that no other package has."""

from churn_platform.serving.bundle import API

__path__ = [str(API)]
