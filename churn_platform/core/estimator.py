"""The estimators under the name that model files written before 0.2 give them."""

from churn_platform.training.estimator import ReadRows, SigmoidCalibrated

__all__ = ["ReadRows", "SigmoidCalibrated"]
