"""What preparing, reading and training cost in time, against named references."""
