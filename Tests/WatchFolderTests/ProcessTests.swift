import FolderFixtures
import Foundation
import Rules
import Testing

@testable import WatchFolder

/// Whole processes: behaviours 14, 17 and 25.
@Suite(.serialized)
struct ProcessTests {
    @Test("behaviour 14: kill -9 at random moments leaves exactly one result or error for each input")
    func killedAtRandom() throws {
        let rounds = Int(ProcessInfo.processInfo.environment["DROPREEL_KILL_ROUNDS"] ?? "") ?? 200
        // A fresh folder now and then: the sampler reads the whole outbox each time.
        for first in stride(from: 0, to: rounds, by: 250) { try killAtRandom(rounds: min(250, rounds - first)) }
    }

    private func killAtRandom(rounds: Int) throws {
        let service = ServiceProcess()
        let sampler = OutboxSampler(service.root.appendingPathComponent("outbox"))
        var drops: [FolderInvariants.Drop] = []
        for round in 0..<rounds {
            try service.start()
            for index in 0..<2 {
                let name = "p\(round)-\(index)"
                let isBad = (round + index) % 11 == 0
                try service.drop("\(name).prompt", isBad ? "refuse" : "film \(name)")
                drops.append(.init(stem: name, files: ["\(name).prompt"], outcome: isBad ? .error : .film))
            }
            // Start-up takes some 30 ms, the way of one prompt some 100 more.
            usleep(UInt32.random(in: 0...260_000))
            service.kill()
        }
        try service.start()
        try service.until("all ended", within: 3600) {
            service.names("inbox").allSatisfy { !$0.hasSuffix(".prompt") }
        }
        try service.until("up") { service.isUp }
        #expect(service.terminate() == 0)
        #expect(sampler.stop() == [])
        #expect(FolderInvariants(root: service.root, drops: drops).violations() == [])
        print("random kills: \(rounds), \(drops.count) inputs, \(sampler.count) files opened as they appeared")
    }

    @Test("behaviour 17: an input that crashes its worker three times lands in _failed, and the queue goes on")
    func poison() throws {
        let service = ServiceProcess()
        try service.start(workers: 1)
        try service.drop("poison.prompt", "crash")
        try service.drop("cat.prompt", "a cat")
        try service.until("both ended") {
            service.names("inbox/_failed").contains("poison.prompt.ERROR.txt")
                && service.names("inbox/_done").contains("cat.prompt")
        }
        #expect(service.text("inbox/_failed/poison.prompt.ERROR.txt").contains("3 attempts"))
        #expect(service.text("outbox/log.jsonl").contains("\"code\":\"worker_crashed\""))
        #expect(service.terminate() == 0)
    }

    @Test("a worker that hangs is killed after the time limit, at the cost of one attempt")
    func hanging() throws {
        let service = ServiceProcess()
        try service.start(workers: 1)
        try service.drop("hang.prompt", "hang")
        try service.until("failed", within: 120) { service.names("inbox/_failed").contains("hang.prompt.ERROR.txt") }
        #expect(service.text("outbox/log.jsonl").contains("\"code\":\"worker_hung\""))
        #expect(service.terminate() == 0)
    }

    @Test("behaviour 25: SIGTERM ends within its limit, and a restart goes on where it stood")
    func terminated() throws {
        let service = ServiceProcess()
        try service.start(workers: 1)
        try service.drop("gate.prompt", "gate a long one")
        try service.drop("next.prompt", "the next one")
        try service.until("running") { service.text("outbox/STATUS.txt").contains("gate: ") }
        let start = SystemClock().uptime()
        #expect(service.terminate() == 0)
        #expect(SystemClock().uptime() - start < 20)
        #expect(service.text("outbox/STATUS.txt").contains("Dropreel is stopped."))
        try Data().write(to: service.root.appendingPathComponent("state/gate"))
        try service.start(workers: 1)
        try service.until("both done") { service.names("inbox/_done").count == 2 }
        #expect(service.names("outbox").filter { $0.hasSuffix(".mp4") }.count == 2)
        #expect(service.terminate() == 0)
    }

    @Test("workers do not outlive a killed service")
    func orphans() throws {
        let service = ServiceProcess()
        try service.start(workers: 2)
        try service.drop("gate.prompt", "gate a long one")
        try service.until("running") { service.text("outbox/STATUS.txt").contains("gate: ") }
        service.kill()
        try service.until("no process left", within: 60) {
            let pids = try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { Int($0) != nil }
            return !pids.contains { pid in
                let line = (try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(pid)/cmdline"))) ?? Data()
                return line.range(of: Data(service.root.path.utf8)) != nil
            }
        }
    }
}
