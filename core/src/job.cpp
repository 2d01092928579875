namespace fedmpi {}
