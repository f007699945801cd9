
groupsalice"d0È
membersharbour"d0È