# throttle
