"""One measured run of llama.cpp: phases, trace, result, calibration."""
