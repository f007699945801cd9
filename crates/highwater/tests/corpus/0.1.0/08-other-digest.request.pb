
groupsalice	¯¤—óp 