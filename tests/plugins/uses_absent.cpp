// Works wherever the library that has the answer is found.
extern "C" int answer();
extern "C" __attribute__((visibility("default"))) int twice_the_answer() {
  return 2 * answer();
}
