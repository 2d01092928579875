#include "node_memory.hpp"

#include "fedmpi/communicator.hpp"
#include "file_error.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>

#include <ATen/ATen.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fedmpi {

namespace {

struct Block {
  int descriptor;
  std::int64_t inode;
  void* pages;
  std::size_t bytes;
};

void release(void* block) {
  const std::unique_ptr<Block> owned(static_cast<Block*>(block));
  ::munmap(owned->pages, owned->bytes);
  ::close(owned->descriptor);
}

// Null where the system does not have it, for whatever size.
std::unique_ptr<Block> allocate(std::size_t bytes) {
  // Such memory is a file to this limit. Where one rank has it, none uses what the others have: see Communicator.
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY) return nullptr;
  const int descriptor = ::memfd_create("fedmpi", MFD_CLOEXEC);
  if (descriptor < 0 && (errno == ENOSYS || errno == EPERM || errno == EACCES)) return nullptr;
  struct stat status {};
  void* pages = MAP_FAILED;
  if (descriptor >= 0 && ::ftruncate(descriptor, static_cast<off_t>(bytes)) == 0 && ::fstat(descriptor, &status) == 0)
    pages = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (pages == MAP_FAILED) {
    const std::string problem = errno_message();
    if (descriptor >= 0) ::close(descriptor);
    throw Error(fmt::format("{} bytes of memory for the ranks of a node cannot be had: {}", bytes, problem));
  }
  return std::make_unique<Block>(Block{
      .descriptor = descriptor, .inode = static_cast<std::int64_t>(status.st_ino), .pages = pages, .bytes = bytes});
}

}  // namespace

at::Tensor zeros_on_node(at::IntArrayRef sizes, at::ScalarType dtype) {
  const std::size_t bytes = static_cast<std::size_t>(c10::multiply_integers(sizes)) * at::elementSize(dtype);
  auto block = bytes > 0 ? allocate(bytes) : nullptr;
  if (!block) return at::zeros(sizes, dtype);
  void* pages = block->pages;
  at::DataPtr data(pages, block.release(), &release, at::kCPU);
  const at::Storage storage(c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), bytes,
                                                                  std::move(data), nullptr, false));
  return at::empty({0}, dtype).set_(storage).view(sizes);
}

NodeAddress node_address(const at::Tensor& tensor) {
  const at::DataPtr& data = tensor.storage().data_ptr();
  if (data.get_deleter() != &release) return {};
  const auto& block = *static_cast<const Block*>(data.get_context());
  return {.pid = ::getpid(),
          .descriptor = block.descriptor,
          .inode = block.inode,
          .offset = tensor.storage_offset() * static_cast<std::int64_t>(tensor.element_size())};
}

MappedMemory::~MappedMemory() {
  for (const auto& [key, mapping] : mappings_)
    if (mapping.pages != nullptr) ::munmap(mapping.pages, mapping.length);
}

void* MappedMemory::at(const NodeAddress& address, std::int64_t bytes) {
  Mapping& mapping = mappings_[{address.pid, address.descriptor}];
  if (mapping.inode != address.inode) {
    if (mapping.pages != nullptr) ::munmap(mapping.pages, mapping.length);
    mapping = {};
    const std::string path = fmt::format("/proc/{}/fd/{}", address.pid, address.descriptor);
    const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) throw RankLost{};
    if (file < 0) throw Error("another rank's memory cannot be opened: " + errno_message());
    struct stat status {};
    void* pages = MAP_FAILED;
    const bool is_it = ::fstat(file, &status) == 0 && static_cast<std::int64_t>(status.st_ino) == address.inode;
    if (is_it)
      pages = ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    // The process of that number may be another one here.
    const std::string problem = is_it ? errno_message() : "it is another file";
    ::close(file);
    if (pages == MAP_FAILED) throw Error("another rank's memory cannot be mapped: " + problem);
    mapping = {.inode = address.inode, .pages = pages, .length = static_cast<std::size_t>(status.st_size)};
  }
  mapping.used = std::max(mapping.used, bytes);
  return static_cast<char*>(mapping.pages) + address.offset;
}

std::int64_t MappedMemory::used_bytes() const {
  std::int64_t bytes = 0;
  for (const auto& [key, mapping] : mappings_) bytes += mapping.used;
  return bytes;
}

}  // namespace fedmpi
