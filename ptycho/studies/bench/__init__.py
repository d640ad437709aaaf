"""What `ptycho bench` measures: ratios within one run, beside the machine they were taken on."""
