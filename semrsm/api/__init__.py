"""The functions that Python calls: one for each command, its flags as keyword arguments, records back.

Only the parameters stand here, explicitly, so that an editor completes them; a test holds them to the
table of options and to the flags of the commands. The work is that of the workflows below.
"""
