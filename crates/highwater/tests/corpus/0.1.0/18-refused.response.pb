hJf
unknown_kindGno kind of list is called planets; this server knows groups and memberslists[0].kind