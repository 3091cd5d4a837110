import Foundation
import TestSupport

/// What the interposer `dropreel-faults` does in the processes that a test starts; `Tests/FaultInjector` says what the
/// fields mean. Shared with them through a file. For one thread.
final class FaultPlan {
    enum Mode: UInt32 { case count, killBefore, killAfter, fail, short }

    /// Classes of calls that are counted and struck.
    struct Calls: OptionSet {
        var rawValue: UInt32
        static let create = Calls(rawValue: 1 << 0)
        static let write = Calls(rawValue: 1 << 1)
        static let rename = Calls(rawValue: 1 << 2)
        static let link = Calls(rawValue: 1 << 3)
        static let unlink = Calls(rawValue: 1 << 4)
        static let makeFolder = Calls(rawValue: 1 << 5)
        static let truncate = Calls(rawValue: 1 << 6)
        static let sync = Calls(rawValue: 1 << 7)
        static let attributes = Calls(rawValue: 1 << 8)
        static let allocate = Calls(rawValue: 1 << 9)
        static let close = Calls(rawValue: 1 << 10)
        static let open = Calls(rawValue: 1 << 11)
        /// Everything that changes the disk.
        static let changing = Calls(rawValue: 0x3FF)
    }

    /// One plan's shared memory. Every plan has a file of its own: a process of an earlier one that is still starting, or
    /// not dead yet, must not take the place of the service, nor use up the calls of a later one.
    private final class Shared {
        static let size = 256
        let file: URL
        let memory: UnsafeMutableRawPointer

        init() throws {
            file = FileManager.default.temporaryDirectory.appendingPathComponent("faults-\(UUID().uuidString)")
            try Data(count: Self.size).write(to: file)
            let descriptor = open(file.path, O_RDWR | O_CLOEXEC)
            defer { close(descriptor) }
            guard descriptor >= 0,
                let memory = mmap(nil, Self.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
                memory != MAP_FAILED
            else { throw Unusable(reason: "no shared memory: \(errno)") }
            self.memory = memory
        }

        deinit {
            munmap(memory, Self.size)
            try? FileManager.default.removeItem(at: file)
        }
    }

    struct Unusable: Error { var reason: String }

    private var shared: Shared
    private var memory: UnsafeMutableRawPointer { shared.memory }

    init() throws {
        guard access(Self.library.path, R_OK) == 0 else { throw Unusable(reason: "\(Self.library.path) is not built") }
        shared = try Shared()
    }

    private static let library = BuiltProgram.url("libdropreel-faults.so")

    /// For the process that is to be struck; of the plan that was set last.
    var environment: [String: String] { ["LD_PRELOAD": Self.library.path, "DROPREEL_FAULTS": shared.file.path] }

    /// Starts from nothing; set it before the process that it is for.
    func set(
        _ mode: Mode, calls: Calls, at target: Int = 0, alsoKillsService: Bool = false, isSticky: Bool = false,
        error: Int32 = 0
    ) throws {
        shared = try Shared()
        memory.storeBytes(of: UInt64(target), toByteOffset: 8, as: UInt64.self)
        memory.storeBytes(of: mode.rawValue, toByteOffset: 16, as: UInt32.self)
        memory.storeBytes(of: alsoKillsService ? 1 : 0, toByteOffset: 20, as: UInt32.self)
        memory.storeBytes(of: isSticky ? 1 : 0, toByteOffset: 24, as: UInt32.self)
        memory.storeBytes(of: error, toByteOffset: 28, as: Int32.self)
        memory.storeBytes(of: calls.rawValue, toByteOffset: 32, as: UInt32.self)
    }

    /// From now on no call fails any more.
    func heal() { memory.storeBytes(of: Mode.count.rawValue, toByteOffset: 16, as: UInt32.self) }

    var count: Int { Int(memory.load(as: UInt64.self)) }

    var hasStruck: Bool { memory.load(fromByteOffset: 40, as: UInt32.self) > 0 }

    /// Syncs of a file after one of it had failed.
    var repeatedSyncs: Int { Int(memory.load(fromByteOffset: 44, as: UInt32.self)) }

    /// The first call that was struck: process, function, file.
    var place: String { String(cString: memory.advanced(by: 48).assumingMemoryBound(to: CChar.self)) }
}
