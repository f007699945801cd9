
groupsalice	bºh2žk 