"""The lab: a fabric built from Linux network namespaces on one machine, with real kernels forwarding."""
