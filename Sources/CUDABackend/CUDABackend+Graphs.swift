import CUDADriver
import Foundation
import Tensors

extension CUDABackend {
    public func repetition(_ name: String) -> (any Repetition)? {
        fastPaths.contains(.graphs) && stream.canNote ? CUDARepetition(self, name) : nil
    }

    /// Notes what `body` queues; nil if it cannot be noted, which is then none of this device's faults.
    fileprivate func noted(
        scratch byteCount: Int, renewing executable: CUDAExecutable?, _ body: () throws -> Void
    ) throws -> CUDAGraph? {
        var stopped: (any Error)?
        let graph = try? stream.noting(scratch: byteCount, renewing: executable) {
            do { try body() } catch {
                stopped = error
                throw error
            }
        }
        let isClear = forgetsFault()
        if let stopped { throw stopped }
        return isClear ? graph : nil
    }
}

/// The first time of its name it is queued piece by piece, and what it takes is measured; then noted, and from then on
/// queued in one call.
private final class CUDARepetition: Repetition {
    private let backend: CUDABackend
    private let name: String
    private var graph: CUDAGraph?
    private var isPlain = false

    init(_ backend: CUDABackend, _ name: String) { (self.backend, self.name) = (backend, name) }

    deinit { if let graph { backend.known.giveBack(graph.executable, name) } }

    func run(_ body: () throws -> Void) throws {
        if isPlain || backend.stream.isProfiled { return try body() }
        if graph == nil {
            guard let kind = backend.known.take(name) else {
                return backend.known.learn(name, scratch: try backend.stream.measuringScratch(body))
            }
            graph = try backend.noted(scratch: kind.scratch, renewing: kind.executable, body)
        }
        guard let graph else {
            isPlain = true
            backend.known.forget(name)
            return try body()
        }
        backend.must { try backend.stream.launch(graph) }
    }
}

/// What was learnt of repetitions by their names.
final class KnownRepetitions: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: everything is guarded by `lock`.
    private let lock = NSLock()
    private var kinds: [String: (scratch: Int, executable: CUDAExecutable?)] = [:]
    private var order: [String] = []
    /// A model's steps and its decoder, for a few sizes.
    private static let most = 8

    func learn(_ name: String, scratch: Int) {
        lock.withLock {
            if kinds.updateValue((scratch, nil), forKey: name) == nil { order.append(name) }
            if order.count > Self.most { kinds[order.removeFirst()] = nil }
        }
    }

    /// What is known of `name`; its executable, if it has one, is the caller's now.
    func take(_ name: String) -> (scratch: Int, executable: CUDAExecutable?)? {
        lock.withLock {
            let kind = kinds[name]
            kinds[name]?.executable = nil
            return kind
        }
    }

    func giveBack(_ executable: CUDAExecutable, _ name: String) {
        lock.withLock { kinds[name]?.executable = executable }
    }

    func forget(_ name: String) {
        lock.withLock {
            kinds[name] = nil
            order.removeAll { $0 == name }
        }
    }
}
