// Every test file runs with the fastest ring kernels this machine offers, as the commands do.
export {};
