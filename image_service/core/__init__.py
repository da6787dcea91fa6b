"""Pure decisions and the pixel work: values in, values out; no event loop, no HTTP."""
