import CSystem
import CUDABackend
import CUDADriver
import Foundation

/// Whether the GPU of this host has proven every operation of this program; only then does `auto` take it.
///
/// The proof is `dropreel selftest --operations`, in a process of its own because a GPU that fails ends the process
/// that uses it. It holds for one card, driver, compiler and set of kernels, and is kept beside the compiled kernels.
struct GPUProof {
    enum Verdict: Equatable {
        case passed
        /// Why the GPU is not taken.
        case failed(String)
        case unknown
    }

    /// Of what is proven.
    let identity: String
    let device: Int
    /// nil where nothing can be kept.
    let folder: URL?
    /// What is started; the arguments come after it.
    var command = ["/proc/self/exe"]
    /// Most seconds the proof may take; kernels are compiled meanwhile.
    var limit = 80.0

    /// nil where there is no GPU that this program can use.
    init?(device: Int, cache: KernelCache) {
        guard let identity = try? CUDABackend.identity(device: device) else { return nil }
        self.init(identity: identity, device: device, folder: cache.folder)
    }

    init(identity: String, device: Int, folder: URL?) {
        (self.identity, self.device, self.folder) = (identity, device, folder)
    }

    private var file: URL? { folder?.appending(path: "proof-\(identity.prefix(32)).txt") }

    /// What was found before.
    var known: Verdict {
        guard let file, let text = try? String(contentsOf: file, encoding: .utf8) else { return .unknown }
        let lines = text.split(separator: "\n", maxSplits: 1).map(String.init)
        switch lines.first {
        case "passed": return .passed
        case "failed": return .failed(lines.count > 1 ? lines[1].trimmingCharacters(in: .newlines) : "no reason kept")
        default: return .unknown
        }
    }

    /// What is known, or else found now, which takes some seconds.
    func verdict() -> Verdict { known == .unknown ? prove() : known }

    /// Proves anew and keeps the outcome.
    func prove() -> Verdict {
        let found = run()
        guard let file else { return found }
        let text: String
        switch found {
        case .passed: text = "passed\n"
        case .failed(let reason): text = "failed\n\(reason)\n"
        case .unknown: return found
        }
        try? FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        // A failure to keep it costs the same seconds again.
        try? text.write(to: file, atomically: true, encoding: .utf8)
        return found
    }

    private func run() -> Verdict {
        var words =
            command + ["selftest", "--operations", "--backend", "cuda", "--device", "\(device)", "--quiet"]
        if let folder { words += ["--kernels", folder.path] }
        var ends: [Int32] = [-1, -1]
        guard dropreel_pipe(&ends) == 0 else { return .failed("no pipe: \(String(cString: strerror(errno)))") }
        var arguments = words.map { strdup($0) } + [nil]
        var environment = ProcessInfo.processInfo.environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for word in arguments + environment { free(word) } }
        let process = dropreel_spawn(command[0], &arguments, &environment, -1, ends[1], ends[1])
        close(ends[1])
        defer { close(ends[0]) }
        guard process > 0 else { return .failed("the proof cannot be started: \(String(cString: strerror(errno)))") }
        let (output, isComplete) = read(ends[0])
        if !isComplete { kill(process, SIGKILL) }
        let status = dropreel_wait(process)
        guard isComplete else { return .failed("the operations took more than \(String(format: "%g", limit)) s") }
        guard status != 0 else { return .passed }
        let lines = output.split(separator: "\n")
        let told = lines.first { $0.hasPrefix("FAIL") || $0.contains("rror") } ?? lines.last ?? ""
        return .failed("the operations ended with \(status < 0 ? "signal \(-status)" : "exit \(status)"): \(told)")
    }

    /// All that comes until the other end is closed; false where that lasts longer than the limit.
    private func read(_ descriptor: Int32) -> (text: String, isComplete: Bool) {
        let deadline = ContinuousClock.now + .seconds(limit)
        var (bytes, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 4096))
        while true {
            let left = (deadline - .now).components
            let milliseconds = left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000
            guard milliseconds > 0 else { return (String(decoding: bytes, as: UTF8.self), false) }
            var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&wait, 1, Int32(clamping: milliseconds)) > 0 else { continue }
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count == 0 || (count < 0 && errno != EINTR) { return (String(decoding: bytes, as: UTF8.self), true) }
            // The first failures are what is told.
            if bytes.count < 1 << 16 { bytes += buffer[..<max(count, 0)] }
        }
    }
}
