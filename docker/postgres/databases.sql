-- Run once, when the volume is new. `dagster` is made by the image.
CREATE DATABASE mlflow;
CREATE DATABASE mlflow_auth;
CREATE DATABASE feast;
