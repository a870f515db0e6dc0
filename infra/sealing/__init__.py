"""Personal data, sealed: AES-GCM under a data key of the account (design section 2, point 24)."""
