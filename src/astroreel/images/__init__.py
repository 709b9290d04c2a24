"""One instant of one object as a stamp: point spread function, host galaxy, sky and detector."""
