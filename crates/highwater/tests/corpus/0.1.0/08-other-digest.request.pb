
groupsalice	5I¢Ç±z¿ 