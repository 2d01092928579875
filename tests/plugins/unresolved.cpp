// Needs a function that nothing has, as a plugin built against another version of a library would.
extern "C" int fedmpi_test_missing_function();
extern "C" __attribute__((visibility("default"))) int answer() {
  return fedmpi_test_missing_function();
}
