import Foundation

/// What the kernel says about memory, in bytes.
public enum HostMemory {
    /// What can be had without swapping; nil where the kernel does not say.
    @Sendable public static func available() -> Int? { field("MemAvailable", in: "/proc/meminfo") }

    /// Most this process has held since `resetPeak`.
    public static func peak() -> Int? { field("VmHWM", in: "/proc/self/status") }

    public static func resetPeak() {
        guard let file = FileHandle(forWritingAtPath: "/proc/self/clear_refs") else { return }
        try? file.write(contentsOf: Data("5".utf8))
        try? file.close()
    }

    private static func field(_ name: String, in path: String) -> Int? {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        let line = text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
        let number = line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
        return number.map { $0 * 1024 }
    }
}
