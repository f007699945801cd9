5
membersharbour	ภOออþฮf]า–จK)ๆ~kdใ“]mF ]0