0
membersdock	f_Ç]Øæ§b™Š­mšæšL€ç 