//! fau3 keeps voice going when the main server or the uplink is gone.
