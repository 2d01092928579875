#include "safetensors.hpp"

#include "fedmpi/error.hpp"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

class Safetensors : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::path(testing::TempDir()) / (std::string("fedmpi_") + info->name() + ".safetensors");
  }
  void TearDown() override { std::filesystem::remove(path_); }

  const std::filesystem::path& write(const std::string& header, std::size_t data_size,
                                     std::uint64_t claimed_length = UINT64_MAX) {
    const std::uint64_t length = claimed_length == UINT64_MAX ? header.size() : claimed_length;
    std::ofstream file(path_, std::ios::binary);
    file.write(reinterpret_cast<const char*>(&length), sizeof length);
    file << header << std::string(data_size, '\0');
    return path_;
  }
  std::string refusal(const std::string& header, std::size_t data_size, std::uint64_t length = UINT64_MAX) {
    return message([&] { SafetensorsFile file(write(header, data_size, length)); });
  }
  static std::string message(const std::function<void()>& work) {
    try {
      work();
    } catch (const FileError& error) {
      return error.what();
    }
    return "no error";
  }

  std::filesystem::path path_;
};

TEST_F(Safetensors, ReadsEachStoredTypeAsFloat) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"BF16","shape":[1,2],"data_offsets":[8,12]},"c":{"dtype":"F16","shape":[],"data_offsets":[12,14]}})";
  write(header, 14);
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(8 + header.size()));
  const float floats[] = {1.5F, -2.0F};
  const std::uint16_t halves[] = {0x3f80, 0xc040, 0x3800};  // bf16 1, -3; f16 0.5
  file.write(reinterpret_cast<const char*>(floats), sizeof floats);
  file.write(reinterpret_cast<const char*>(halves), sizeof halves);
  file.close();
  const SafetensorsFile tensors(path_);
  std::vector<float> out(2);
  tensors.read("a", {2}, out.data());
  EXPECT_EQ(out, (std::vector<float>{1.5F, -2.0F}));
  tensors.read("b", {1, 2}, out.data());
  EXPECT_EQ(out, (std::vector<float>{1.0F, -3.0F}));
  tensors.read("c", {}, out.data());
  EXPECT_EQ(out[0], 0.5F);
  EXPECT_TRUE(tensors.contains("a"));
  EXPECT_FALSE(tensors.contains("__metadata__"));
  EXPECT_NE(message([&] {
              tensors.read("a", {2, 1}, out.data());
            }).find("'a' of shape [2] where [2, 1]"),
            std::string::npos);
  EXPECT_NE(message([&] { tensors.read("d", {2}, out.data()); }).find("lacks tensor 'd'"), std::string::npos);
}

TEST_F(Safetensors, RefusesOtherTypesOnlyWhenTheyAreRead) {
  const SafetensorsFile tensors(write(R"({"n":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", 8));
  float out = 0.0F;
  EXPECT_NE(message([&] { tensors.read("n", {1}, &out); }).find("as I64"), std::string::npos);
}

TEST_F(Safetensors, RefusesHostileFiles) {
  const auto expect = [this](const std::string& part, const std::string& header, std::size_t size,
                             std::uint64_t length = UINT64_MAX) {
    const std::string said = refusal(header, size, length);
    EXPECT_NE(said.find(part), std::string::npos) << header << "\n" << said;
    EXPECT_NE(said.find(path_.string()), std::string::npos);
  };
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  EXPECT_EQ(refusal(good, 8), "no error");
  expect("truncated", good, 7);
  expect("after its last tensor", good, 9);
  expect("header goes beyond", good, 8, 1000);
  expect("claims a header", good, 8, std::uint64_t{1} << 63U);
  expect("claims a header", good, 8, UINT64_MAX - 7);
  expect("not a JSON object", "{\"a\":", 8);
  expect("not a JSON object", "[1]", 8);
  expect("not a JSON object", R"({"a":{"b":{"c":{"d":{"e":1}}}}})", 8);
  expect("not a JSON object", std::string(100000, '['), 8);
  expect("not understood", R"({"a":1})", 8);
  expect("not understood", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[-4,4]}})", 8);
  expect("not understood", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8);
  expect("unknown type", R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})", 8);
  expect("whose shape and type take 16", R"({"a":{"dtype":"F64","shape":[2],"data_offsets":[0,8]}})", 8);
  expect("impossible shape", R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}})", 8);
  expect("impossible shape",
         R"({"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,0]}})", 0);
  expect("beyond its end", R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[8,0]}})", 8);
  expect(
      "overlap or leave a hole",
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
      8);
  expect("overlap or leave a hole", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8);
}

TEST_F(Safetensors, RefusesWhatIsNotAFile) {
  EXPECT_NE(message([&] { SafetensorsFile file("/nonexistent/model.safetensors"); }).find("cannot be opened"),
            std::string::npos);
  EXPECT_NE(message([&] { SafetensorsFile file(testing::TempDir()); }).find("not a regular file"), std::string::npos);
  std::ofstream(path_) << "1234567";
  EXPECT_NE(message([&] { SafetensorsFile file(path_); }).find("at least 8 bytes"), std::string::npos);
}

}  // namespace
}  // namespace fedmpi
