"""torch and OpenVINO at run time: devices, loading, preparing and predicting."""
