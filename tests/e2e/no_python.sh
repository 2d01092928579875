#!/bin/sh
echo "skipped: no Python with the reference packages was given (FEDMPI_TEST_PYTHON)"
exit 77
