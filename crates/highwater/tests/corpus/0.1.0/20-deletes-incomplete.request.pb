3
membersharbour	ภOออþฮfc๏ีQื่ํ;=รg [