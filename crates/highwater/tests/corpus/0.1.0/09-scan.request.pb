
membersharbour"
