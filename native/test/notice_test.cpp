// A line of text that is read while it is written.
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "base/clock.hpp"
#include "check.hpp"
#include "sandbox.hpp"
#include "shm/scoreboard.hpp"

namespace kilofork {
namespace {

using check::Process;

// In memory that forked processes share; zero, as that of a new segment is.
class SharedNotice {
 public:
  SharedNotice()
      : memory_(::mmap(nullptr, sizeof(Notice), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0)) {
    CHECK(memory_ != MAP_FAILED);
  }
  SharedNotice(const SharedNotice&) = delete;
  SharedNotice& operator=(const SharedNotice&) = delete;
  ~SharedNotice() { ::munmap(memory_, sizeof(Notice)); }
  Notice& operator*() const { return *static_cast<Notice*>(memory_); }
  Notice* operator->() const { return static_cast<Notice*>(memory_); }

 private:
  void* memory_;
};

TEST("a new notice is empty, and a text is read again and again until the next") {
  const SharedNotice notice;
  CHECK_EQ(notice->get().value(), "");
  for (const char* text : {"yes", "", "no: it is being replaced already", "x"}) {
    notice->put(text);
    for (int i = 0; i < 3; i++) CHECK_EQ(notice->get().value(), text);
  }
}

TEST("a text that is too long is cut off, and a shorter one is whole") {
  const SharedNotice notice;
  const std::string longest(Notice::kBytes - 1, 'x');
  for (std::size_t length = 0; length <= Notice::kBytes + 20; length++) {
    notice->put(std::string(length, 'x'));
    CHECK_EQ(notice->get().value(), longest.substr(0, length));
  }
  notice->put(std::string(100'000, 'y'));
  CHECK_EQ(notice->get().value(), std::string(Notice::kBytes - 1, 'y'));
}

// Texts of one letter each, of all lengths, so that a mixture of two is noticed.
std::string text_of(std::uint64_t round) {
  const auto letter = static_cast<char>('a' + round % 26);
  return std::string(1 + round * 61 % (Notice::kBytes - 1), letter);
}
std::vector<std::string> all_texts() {
  std::vector<std::string> texts;
  for (std::uint64_t round = 0; round < 26 * (Notice::kBytes - 1); round++) {
    const std::string text = text_of(round);
    const std::size_t key = static_cast<std::size_t>(text[0] - 'a') * Notice::kBytes + text.size();
    if (texts.size() <= key) texts.resize(key + 1);
    texts[key] = text;
  }
  return texts;
}
// Checks that each text that is read was written as a whole. Returns how many were read.
int read_for(const Notice& notice, Nanoseconds time) {
  const auto texts = all_texts();
  int count = 0;
  for (const Nanoseconds end = monotonic_now() + time; monotonic_now() < end;) {
    for (int i = 0; i < 1000; i++) {
      const auto text = notice.get();
      if (!text) continue;
      CHECK(!text->empty());
      const std::size_t key =
          static_cast<std::size_t>(text->at(0) - 'a') * Notice::kBytes + text->size();
      CHECK(key < texts.size());
      CHECK_EQ(*text, texts[key]);
      count++;
    }
  }
  return count;
}

TEST("a thread that reads while it is written gets no text that is torn") {
  const SharedNotice notice;
  notice->put(text_of(0));
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (std::uint64_t round = 1; !done; round++) {
      notice->put(text_of(round));
      if (round % 16 == 0) std::this_thread::yield();
    }
  });
  std::string failure;
  int count = 0;
  try {
    count = read_for(*notice, kSecond);
  } catch (const std::exception& error) {
    failure = error.what();
  }
  done = true;
  writer.join();
  CHECK_EQ(failure, "");
  CHECK(count > 0);
}

TEST("processes that read while it is written get no text that is torn") {
  const SharedNotice notice;
  notice->put(text_of(0));
  const Process writer([&] {
    for (std::uint64_t round = 1;; round++) {
      notice->put(text_of(round));
      if (round % 16 == 0) std::this_thread::yield();
    }
  });
  std::vector<Process> readers;
  for (int i = 0; i < 3; i++) readers.emplace_back([&] { CHECK(read_for(*notice, kSecond) > 0); });
  for (Process& reader : readers) CHECK_EQ(reader.wait(), 0);
}

TEST("a writer that is killed leaves no text, or a whole one") {
  const SharedNotice notice;
  for (int i = 0; i < 100; i++) {
    {
      const Process writer([&] {
        for (std::uint64_t round = 0;; round++) notice->put(text_of(round));
      });
      ::usleep(static_cast<useconds_t>(i) * 10);
    }
    const auto text = notice->get();
    if (text && !text->empty()) CHECK_EQ(*text, std::string(text->size(), text->at(0)));
    ::new (&*notice) Notice{};
  }
}

TEST("a notice whose text does not end is cut off at its last byte") {
  const SharedNotice notice;
  // An even sequence, and no byte that ends the text.
  std::memset(static_cast<void*>(&*notice), 'x', sizeof(Notice));
  CHECK_EQ(notice->get().value(), std::string(Notice::kBytes, 'x'));
}

}  // namespace
}  // namespace kilofork
