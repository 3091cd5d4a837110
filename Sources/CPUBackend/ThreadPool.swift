import Foundation
import Synchronization

/// Threads of our own for long kernels; the cooperative pool never runs one.
///
/// One parallel loop runs at a time: a second caller waits. The caller works too and returns when all is done.
final class ThreadPool: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `turn` orders callers, `shared` guards itself, and `scratch[w]` is touched
    // only by worker `w` while a loop runs.
    let threadCount: Int
    private let turn = NSLock()
    private let shared: SharedLoop
    private let scratch: [ScratchMemory]

    init(threads: Int) {
        threadCount = max(1, threads)
        shared = SharedLoop()
        scratch = (0..<threadCount).map { _ in ScratchMemory() }
        for worker in 1..<max(threadCount, 1) {
            let thread = Thread { [shared] in shared.serve(worker: worker) }
            thread.stackSize = 1 << 20
            thread.name = "kernel-\(worker)"
            thread.start()
        }
    }

    deinit { shared.stop() }

    /// Calls `body(index, worker)` for every index below `count`, each once, in any order and on any thread.
    func run(_ count: Int, _ body: (_ index: Int, _ worker: Int) -> Void) {
        guard count > 0 else { return }
        turn.lock()
        defer { turn.unlock() }
        if count == 1 || threadCount == 1 {
            for index in 0..<count { body(index, 0) }
            return
        }
        withoutActuallyEscaping(body) { body in
            shared.run(count, workers: min(count, threadCount) - 1, body)
        }
    }

    /// Splits `0..<count` into ranges of at least `grain` and calls `body` for each.
    func ranges(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
        let size = max(grain, (count + threadCount * 4 - 1) / (threadCount * 4))
        run((count + size - 1) / size) { index, _ in body(index * size..<min(count, (index + 1) * size)) }
    }

    /// At least `byteCount` bytes that belong to `worker` until its body returns.
    func scratch(_ worker: Int, _ byteCount: Int) -> UnsafeMutableRawPointer {
        scratch[worker].atLeast(byteCount)
    }
}

/// Memory that grows and is kept.
private final class ScratchMemory {
    private var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    func atLeast(_ byteCount: Int) -> UnsafeMutableRawPointer {
        if memory.count < byteCount {
            memory.deallocate()
            memory = .allocate(byteCount: (byteCount + 4095) & ~4095, alignment: 4096)
        }
        return memory.baseAddress.unsafelyUnwrapped
    }

    deinit { memory.deallocate() }
}

/// The loop that the threads share.
private final class SharedLoop: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: all variables but `next` are read and written under `condition`.
    private let condition = NSCondition()
    private let next = Atomic<Int>(0)
    private var body: ((Int, Int) -> Void)?
    private var count = 0
    private var generation = 0
    private var wanted = 0
    private var active = 0
    private var stopped = false

    func run(_ count: Int, workers: Int, _ body: @escaping (Int, Int) -> Void) {
        condition.lock()
        self.body = body
        self.count = count
        next.store(0, ordering: .relaxed)
        generation += 1
        wanted = workers
        condition.broadcast()
        condition.unlock()
        work(count, worker: 0, body)
        condition.lock()
        // Threads that have not woken by now are not waited for.
        wanted = 0
        while active > 0 { condition.wait() }
        self.body = nil
        condition.unlock()
    }

    func serve(worker: Int) {
        condition.lock()
        var seen = 0
        while !stopped {
            if generation == seen || wanted == 0 {
                seen = wanted == 0 ? generation : seen
                condition.wait()
                continue
            }
            seen = generation
            wanted -= 1
            active += 1
            let (body, count) = (self.body, self.count)
            condition.unlock()
            if let body { work(count, worker: worker, body) }
            condition.lock()
            active -= 1
            if active == 0 { condition.broadcast() }
        }
        condition.unlock()
    }

    func stop() {
        condition.lock()
        stopped = true
        condition.broadcast()
        condition.unlock()
    }

    private func work(_ count: Int, worker: Int, _ body: (Int, Int) -> Void) {
        while true {
            let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
            guard index < count else { return }
            body(index, worker)
        }
    }
}
