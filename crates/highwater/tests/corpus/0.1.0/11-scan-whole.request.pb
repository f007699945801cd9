
groupsalice"d