
membersharbour"