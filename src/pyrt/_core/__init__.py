"""The compiled core. It imports nothing of pyrt outside itself; its .pxd files are public."""
