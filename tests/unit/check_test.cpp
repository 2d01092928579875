// What fedmpi check makes of facts: the memory of a node, where ranks are, and its warnings.
#include "check_report.hpp"
#include "node.hpp"
#include "temporary_directory.hpp"

#include <cstdlib>
#include <cstring>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

// That there are as many warnings as fragments, each with its fragment.
testing::AssertionResult say(const std::vector<std::string>& warnings, const std::vector<std::string>& fragments) {
  bool right = warnings.size() == fragments.size();
  for (std::size_t i = 0; right && i < warnings.size(); ++i)
    right = warnings[i].find(fragments[i]) != std::string::npos;
  if (right) return testing::AssertionSuccess();
  testing::AssertionResult wrong = testing::AssertionFailure();
  for (const std::string& warning : warnings) wrong << "\n" << warning;
  return wrong;
}

struct Variable {
  Variable(const char* name, const char* value) : name_{name} { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }
  const char* name_;
};

// A tree like "/" of a machine with so much free memory, this process in the cgroup /a/b.
struct Root {
  TemporaryDirectory directory;
  explicit Root(const std::string& free_kilobytes) {
    std::filesystem::create_directories(directory / "proc/self");
    std::filesystem::create_directories(directory / "sys/fs/cgroup/a/b");
    write_bytes(directory / "proc/meminfo", "MemTotal: 99999999 kB\nMemAvailable:   " + free_kilobytes + " kB\n");
    write_bytes(directory / "proc/self/cgroup", "4:memory:/other\n0::/a/b\n");
  }
  void group(const std::string& name, const std::string& maximum, const std::string& current) {
    write_bytes(directory / ("sys/fs/cgroup/" + name + "/memory.max"), maximum + "\n");
    write_bytes(directory / ("sys/fs/cgroup/" + name + "/memory.current"), current + "\n");
  }
};

TEST(MemoryThere, IsWhatIsFree) {
  const Root root("2000");
  EXPECT_EQ(memory_there(root.directory.path()).bytes, 2000 * 1024);
  EXPECT_EQ(memory_there(root.directory.path()).limit, "free memory");
}

TEST(MemoryThere, IsNoMoreThanAnyGroupAboveLeaves) {
  Root root("2000");
  root.group("a/b", "max", "100");
  EXPECT_EQ(memory_there(root.directory.path()).limit, "free memory");
  root.group("a", "1000000", "300000");
  EXPECT_EQ(memory_there(root.directory.path()).bytes, 700000);
  root.group("a/b", "600000", "100000");
  EXPECT_EQ(memory_there(root.directory.path()).bytes, 500000);
  // Files that were read do not count against it.
  write_bytes(root.directory / "sys/fs/cgroup/a/b/memory.stat", "anon 40000\ninactive_file 50000\nslab 1\n");
  EXPECT_EQ(memory_there(root.directory.path()).bytes, 550000);
  EXPECT_NE(memory_there(root.directory.path()).limit.find("memory.max"), std::string::npos);
}

TEST(MemoryThere, IsNoMoreThanSlurmGrants) {
  const Root root("20000000");
  const auto there = [&] { return memory_there(root.directory.path()).bytes; };
  {
    const Variable node("SLURM_MEM_PER_NODE", "4096");
    EXPECT_EQ(there(), std::int64_t{4096} << 20);
    EXPECT_EQ(memory_there(root.directory.path()).limit, "SLURM_MEM_PER_NODE");
  }
  {
    const Variable core("SLURM_MEM_PER_CPU", "2G"), cores("SLURM_CPUS_ON_NODE", "3");
    EXPECT_EQ(there(), std::int64_t{6} << 30);
  }
  const Variable all("SLURM_MEM_PER_NODE", "0");  // of the node
  EXPECT_EQ(there(), std::int64_t{20000000} * 1024);
}

// Ranks 0 and 1 on one node with two cores in common, rank 2 on another with core 3.
std::vector<NodeView> three_views() {
  std::vector<NodeView> views(3);
  for (std::size_t i = 0; i < 3; ++i) {
    std::strcpy(views[i].name, i < 2 ? "first" : "second");
    std::strcpy(views[i].memory_limit, "free memory");
    views[i].node = i < 2 ? 0 : 2;
    views[i].memory_bytes = 1000;
    views[i].own_bytes = 10;
    views[i].output_inode = 5;
  }
  for (const int core : {0, 1}) {
    CPU_SET(core, &views[0].cores);
    CPU_SET(core, &views[1].cores);
  }
  CPU_SET(3, &views[2].cores);
  for (NodeView& view : views) view.cores_offered = view.cores;
  return views;
}

TEST(Nodes, AreAddedUp) {
  const auto nodes = nodes_of(three_views());
  ASSERT_EQ(nodes.size(), 2U);
  EXPECT_EQ(nodes[0].name, "first");
  EXPECT_EQ(nodes[0].ranks, 2);
  EXPECT_EQ(nodes[0].cores, 2);
  EXPECT_EQ(nodes[0].memory_bytes, 1020);
  EXPECT_EQ(nodes[1].cores, 1);
  const Cluster cluster = cluster_of(three_views(), 1);
  EXPECT_EQ(cluster.node_of_rank, (std::vector<int>{0, 0, 1}));
  EXPECT_EQ(cluster.cores_of_node, (std::vector<int>{2, 1}));
}

TEST(PlannedCluster, IsHereUnlessAskedOtherwise) {
  const auto views = three_views();
  const Cluster here = planned_cluster(views, {}, 0, 3);
  EXPECT_EQ(here.ranks(), 3);
  EXPECT_EQ(here.threads, 3);
  const Cluster more = planned_cluster(views, {.run = {}, .ranks = 8, .nodes = 0}, 0, 3);
  EXPECT_EQ(more.nodes(), 4);  // two a node, as here
  EXPECT_EQ(more.threads, 1);  // two hosts on two cores
  const Cluster wider = planned_cluster(views, {.run = {}, .ranks = 4, .nodes = 4}, 0, 3);
  EXPECT_EQ(wider.nodes(), 4);
  EXPECT_EQ(wider.threads, 2);
  EXPECT_THROW(planned_cluster(views, {.run = {}, .ranks = 2, .nodes = 3}, 0, 1), AgreedError);
}

// Two hosts with one thread each on one core ran at half of their speed.
TEST(AsIfAlone, TakesOutWhatSharingCost) {
  const Rates measured{
      .step = {.fixed = 2, .per_unit = 4}, .client = {.fixed = 8, .per_unit = 0}, .block = {.fixed = 0, .per_unit = 6}};
  Cluster cluster = deal_out(3, 1, 1, 1);
  EXPECT_DOUBLE_EQ(as_if_alone(measured, cluster, 1, 10).step.per_unit, 2.0);
  EXPECT_DOUBLE_EQ(as_if_alone(measured, cluster, 1, 10).block.per_unit, 2.0);  // three evaluate
  EXPECT_DOUBLE_EQ(as_if_alone(measured, cluster, 1, 1).step.per_unit, 4.0);    // one host had a client
  cluster.cores_of_node = {8};
  EXPECT_DOUBLE_EQ(as_if_alone(measured, cluster, 1, 10).client.fixed, 8.0);
}

// A run of three rounds on three ranks that nothing is wrong with.
CheckReport good_report() {
  CheckReport report{.source = "job.toml", .name = "good", .output = "runs/good", .last_round = 3, .plugins = {}};
  report.clients = 10;
  report.cohort = {.least = 10, .median = 10, .most = 10, .sum = 10};
  report.cluster = deal_out(3, 1, 4, 1);
  report.ranks_here = 3;
  report.most_useful_ranks = 3;
  report.nodes = {{.name = "node1",
                   .ranks = 3,
                   .cores = 4,
                   .cores_offered = 4,
                   .memory_bytes = 1000,
                   .memory_limit = "free memory",
                   .temporary_bytes = 100}};
  report.forecast.round_seconds = report.forecast.fit_seconds = 100;
  report.forecast.total_seconds = 300;
  report.forecast.node_bytes = {900};
  report.checkpoint_bytes = 10;
  report.checkpoints_kept = 4;
  report.disk_free_bytes = 40;
  return report;
}

Job good_job() {
  Job job;
  job.run.rounds = 3;
  job.evaluation.every = job.checkpoint.every = 1;
  job.training.batch_size = 8;
  return job;
}

TEST(Warnings, ThereAreNoneWhereNothingIsWrong) {
  EXPECT_TRUE(say(warnings_of(good_report(), good_job()), {}));
}

TEST(Warnings, MemoryThatIsNotThere) {
  CheckReport report = good_report();
  report.forecast.node_bytes = {1001};
  EXPECT_TRUE(say(warnings_of(report, good_job()), {"3 ranks on node1 need about 1.0 kB of memory"}));
}

TEST(Warnings, DiskAndTemporaryFiles) {
  CheckReport report = good_report();
  report.client_state_bytes = 1;
  report.temporary_node_bytes = 101;
  EXPECT_TRUE(
      say(warnings_of(report, good_job()), {"runs/good will hold about 41 B, and its disk has 40 B free", "TMPDIR"}));
}

TEST(Warnings, RanksWithoutClientsAndCoresThatAreShared) {
  CheckReport report = good_report();
  report.cohort.most = 1;
  EXPECT_TRUE(say(warnings_of(report, good_job()),
                  {"1 of 2 ranks that host clients have none, because a round has 1: start at most 2"}));
  report = good_report();
  report.cluster.cores_of_node = {1};
  report.nodes[0].cores = report.nodes[0].cores_offered = 1;
  EXPECT_TRUE(say(warnings_of(report, good_job()), {"2 ranks that host clients share the 1 core of a node"}));
  report.cluster.cores_of_node = {4};
  report.cluster.threads = 3;
  EXPECT_TRUE(say(warnings_of(report, good_job()), {"set run.threads = 2"}));
}

TEST(Warnings, ALauncherThatBinds) {
  CheckReport report = good_report();
  report.nodes[0].cores_offered = 64;
  EXPECT_TRUE(say(warnings_of(report, good_job()), {"binds the 3 ranks on node1 to 4 of its 64 cores"}));
}

TEST(Warnings, TimeThatIsNotThere) {
  CheckReport report = good_report();
  report.seconds_left = 250;
  EXPECT_TRUE(say(warnings_of(report, good_job()), {"the run stops after about 2 rounds"}));
  report.seconds_left = 90;
  EXPECT_TRUE(say(warnings_of(report, good_job()), {"not even one round"}));
  Job job = good_job();
  job.federation.round_deadline_seconds = 50;
  report.seconds_left = 1000;
  EXPECT_TRUE(say(warnings_of(report, job), {"round_deadline_seconds = 50"}));
}

TEST(Warnings, WorkThatWouldBeLost) {
  CheckReport report = good_report();
  report.forecast.round_seconds = report.forecast.fit_seconds = 1900;
  Job job = good_job();
  EXPECT_TRUE(say(warnings_of(report, job), {}));
  job.checkpoint.every = 0;
  EXPECT_TRUE(say(warnings_of(report, job), {"checkpoints are 3 rounds apart, about 1 h 35 min"}));
  job.checkpoint.every = 1;
  report.forecast.round_seconds = report.forecast.fit_seconds = 4000;
  EXPECT_TRUE(say(warnings_of(report, job), {"set checkpoint.within_round_seconds"}));
}

TEST(Warnings, ADirectoryThatNodesDoNotShare) {
  CheckReport report = good_report();
  report.nodes.push_back(report.nodes[0]);
  report.nodes[1].name = "node2";
  report.nodes[1].sees_output = false;
  EXPECT_TRUE(say(warnings_of(report, good_job()), {}));
  report.client_state_bytes = 1;
  report.disk_free_bytes = 1000;
  EXPECT_TRUE(say(warnings_of(report, good_job()), {"is not the same directory on node2 as on node1"}));
}

}  // namespace
}  // namespace fedmpi
