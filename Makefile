lab-build:
	@true
