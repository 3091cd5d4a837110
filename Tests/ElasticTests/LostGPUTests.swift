import Foundation
import TestSupport
import Testing
import TinyModels

/// The whole program on two GPUs of which one fails: no job is lost, and people are told.
@Suite struct LostGPUTests {
    private let scratch: ScratchFolder

    init() throws {
        scratch = try ScratchFolder()
        for name in ["inbox", "outbox", "rules", "state", "models", "libraries", "etc"] {
            try FileManager.default.createDirectory(
                at: scratch.url.appending(path: name), withIntermediateDirectories: true)
        }
        try TinyModel.write(in: scratch.url.appending(path: "models"))
        for name in ["libcuda.so.1", "libnvrtc.so.13", "libcublasLt.so.13"] {
            try FileManager.default.createSymbolicLink(
                at: scratch.url.appending(path: "libraries/\(name)"),
                withDestinationURL: BuiltProgram.url("libdropreel-fake-cuda.so"))
        }
        let settings = """
            root = "\(scratch.url.path)"
            [models]
            directories = ["models"]
            [engine]
            backend = cuda
            gpus = all
            gpu_timeout = 2 s
            [intake]
            watch = poll
            poll_interval = 0.2 s
            quiet_period = 0.1 s
            quiet_period_without_lease = 0.1 s
            """
        try settings.write(to: scratch.url.appending(path: "etc/dropreel.toml"), atomically: true, encoding: .utf8)
    }

    /// A failing launch, and a wait that never ends, both of GPU 0 and both in each of its workers' first film.
    @Test(arguments: ["fail_launch=60", "hang_wait=4"]) func jobsGoToTheOtherGPU(fault: String) throws {
        let prompts = ["one", "two", "three", "four"]
        for prompt in prompts {
            try prompt.write(
                to: scratch.url.appending(path: "inbox/\(prompt).prompt"), atomically: true, encoding: .utf8)
        }
        let service = Process()
        service.executableURL = BuiltProgram.url("dropreel")
        service.arguments = ["serve", "--config", scratch.url.appending(path: "etc/dropreel.toml").path]
        service.environment = ProcessInfo.processInfo.environment.merging([
            "LD_LIBRARY_PATH": scratch.url.appending(path: "libraries").path,
            "FAKE_CUDA": "devices=2 bad_device=0 \(fault)",
        ]) { $1 }
        let log = scratch.url.appending(path: "log")
        try Data().write(to: log)
        service.standardError = try FileHandle(forWritingTo: log)
        service.standardOutput = FileHandle.nullDevice
        try service.run()
        defer {
            service.terminate()
            service.waitUntilExit()
        }
        var seen = ""
        let isDone = wait(seconds: 60) {
            seen += text("outbox/STATUS.txt")
            let logs = films.filter { !text("outbox/" + $0.replacing(".mp4", with: ".json")).isEmpty }
            return logs.count == prompts.count && seen.contains("GPU 0 was lost")
        }
        let told = text("log")
        #expect(isDone, "\(films) of \(prompts): \(told.suffix(3000))")
        #expect(told.contains("GPU 0 was lost. The"))
        #expect(told.contains(fault.hasPrefix("hang") ? "no progress for 2 s" : "CUDA_ERROR_LAUNCH_FAILED"))
        for film in films {
            let json = text("outbox/" + film.replacing(".mp4", with: ".json"))
            #expect(json.contains("fake GPU 1") && json.contains("\"memory_plan\""))
        }
    }

    private var films: [String] {
        let names =
            (try? FileManager.default.contentsOfDirectory(atPath: scratch.url.appending(path: "outbox").path)) ?? []
        return names.filter { $0.hasSuffix(".mp4") }
    }

    private func text(_ path: String) -> String {
        (try? String(contentsOf: scratch.url.appending(path: path), encoding: .utf8)) ?? ""
    }

    private func wait(seconds: Double, until condition: () -> Bool) -> Bool {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while !condition() {
            if ContinuousClock.now > deadline { return false }
            usleep(50_000)
        }
        return true
    }
}
