/**
 * A mutex between threads, and the counters that it guards, like pthread_mutex_t and the static
 * counter of the C original. The mutex is one word of a SharedArrayBuffer. Source: U. Drepper,
 * "Futexes Are Tricky".
 */
const UNLOCKED = 0;
const LOCKED = 1;
const CONTENDED = 2; // locked, and other threads wait

class Mutex {
  constructor(
    private readonly words: Int32Array,
    private readonly index: number,
  ) {}

  /** Runs `body` while no other thread does. */
  guard<T>(body: () => T): T {
    this.lock();
    try {
      return body();
    } finally {
      this.unlock();
    }
  }

  private lock(): void {
    if (Atomics.compareExchange(this.words, this.index, UNLOCKED, LOCKED) === UNLOCKED) return;
    while (Atomics.exchange(this.words, this.index, CONTENDED) !== UNLOCKED)
      Atomics.wait(this.words, this.index, CONTENDED);
  }

  private unlock(): void {
    if (Atomics.exchange(this.words, this.index, UNLOCKED) === CONTENDED)
      Atomics.notify(this.words, this.index, 1);
  }
}

/** The memory that the threads of a client share. The mutex guards the counts. */
export class Shared {
  private readonly flags: Int32Array;
  private readonly counts: Float64Array;
  private readonly mutex: Mutex;

  static create(): Shared {
    return new Shared(new SharedArrayBuffer(32));
  }

  constructor(readonly memory: SharedArrayBuffer) {
    this.flags = new Int32Array(memory, 0, 4); // mutex, stop, threads that have arrived
    this.counts = new Float64Array(memory, 16, 2); // handled, settled
    this.mutex = new Mutex(this.flags, 0);
  }

  /** Adds to the requests handled and the clients settled; returns the sums. */
  add(handled: number, settled: number): { handled: number; settled: number } {
    return this.mutex.guard(() => {
      this.counts[0] = (this.counts[0] ?? 0) + handled;
      this.counts[1] = (this.counts[1] ?? 0) + settled;
      return { handled: this.counts[0], settled: this.counts[1] };
    });
  }

  /** Waits until all threads have called it, so that they start together. */
  arrive(threads: number): void {
    Atomics.add(this.flags, 2, 1);
    Atomics.notify(this.flags, 2);
    for (;;) {
      const arrived = Atomics.load(this.flags, 2);
      if (arrived >= threads) return;
      Atomics.wait(this.flags, 2, arrived);
    }
  }

  /** Asks the threads to end early. */
  stop(): void {
    Atomics.store(this.flags, 1, 1);
  }

  get stopped(): boolean {
    return Atomics.load(this.flags, 1) === 1;
  }
}
