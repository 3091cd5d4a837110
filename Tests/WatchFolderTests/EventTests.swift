import FolderFixtures
import Foundation
import Testing

@testable import WatchFolder

/// What the service tells others while it runs, and what it takes over without a restart.
@Suite(.serialized)
struct EventTests {
    @Test("each finished and each failed job is told once, with its name and its place")
    func events() throws {
        let folder = try FolderHarness()
        var told: [String] = []
        folder.service.onEvent = { event in
            switch event {
            case .done(let name, let output): told.append("done \(name) \(output.hasPrefix("night/cat_t2v_"))")
            case .failed(let name, let error): told.append("failed \(name) \(error.message)")
            case .paused, .resumed: told.append("space")
            }
        }
        try folder.drop("night/cat.prompt", "a cat")
        try folder.drop("owl.prompt", "refuse owl")
        try folder.until("both told") { told.count == 2 }
        try folder.throughout { told.count == 2 }
        #expect(told.sorted() == ["done night/cat true", "failed owl The engine refuses."])
    }

    @Test("a full disk is told when it begins and when it ends")
    func space() throws {
        let folder = try FolderHarness()
        var told: [String] = []
        folder.service.onEvent = { event in
            if case .paused = event { told.append("paused") }
            if case .resumed = event { told.append("resumed") }
        }
        folder.service.beginPause("The disk is full.")
        try folder.until("goes on") { told == ["paused", "resumed"] }
    }

    @Test("new options hold at once, but for how files are noticed")
    func reconfigure() throws {
        let folder = try FolderHarness()
        try folder.drop("cat.jpg", "IMG cat END")
        try folder.rule("default.toml", "prompt = \"it moves\"\n")
        var options = ServiceOptions.quick
        options.pairWait = 3600
        options.usesWatcher = true
        options.watcherExecutable = "/nowhere"
        folder.service.reconfigure(options)
        try folder.throughout(0.6) { folder.jobCount == 0 }
        #expect(!folder.service.options.usesWatcher && folder.service.options.watcherExecutable == nil)
        folder.service.notice = "etc/dropreel.toml is broken"
        folder.service.reconfigure(.quick)
        try folder.untilIdle(films: 1)
        try folder.until("note") { folder.status.contains("Note: etc/dropreel.toml is broken") }
    }

    @Test("metrics say what the status says")
    func metrics() throws {
        let folder = try FolderHarness(workers: .none)
        var last: ServiceStatus?
        folder.service.onStatus = { last = $0 }
        try folder.drop("cat.prompt", "a cat")
        try folder.drop("mouse.jpg", "IMG mouse END")
        try folder.until("told") { last?.counts["queued"] == 1 && last?.waiting.count == 1 }
        let text = MetricsText.render(try #require(last), freeBytes: ["outbox": 5, "state": 7])
        let lines = text.split(separator: "\n").map(String.init)
        for line in [
            "dropreel_up 1", "dropreel_jobs{state=\"queued\"} 1", "dropreel_jobs{state=\"running\"} 0",
            "dropreel_jobs_finished_total{result=\"done\"} 0", "dropreel_waiting_files 1", "dropreel_paused 0",
            "dropreel_free_bytes{directory=\"outbox\"} 5", "dropreel_free_bytes{directory=\"state\"} 7",
        ] {
            #expect(lines.contains(line), "\(line)")
        }
        let names = lines.filter { !$0.hasPrefix("#") }.compactMap {
            $0.split(whereSeparator: { "{ ".contains($0) }).first
        }
        for name in Set(names) { #expect(lines.contains { $0.hasPrefix("# TYPE \(name) ") }, "\(name)") }
    }
}
