import Foundation
import TestSupport
import Testing

@testable import dropreel

/// A GPU is taken by itself only after a process of its own has proven it.
@Suite struct GPUProofTests {
    private let scratch: ScratchFolder
    init() throws { scratch = try ScratchFolder() }

    /// A proof whose process is a script.
    private func proof(_ script: String, identity: String = "one card", limit: Double = 20) throws -> GPUProof {
        let file = scratch.url.appending(path: "prove-\(UUID().uuidString).sh")
        try (script + "\n").write(to: file, atomically: true, encoding: .utf8)
        var proof = GPUProof(identity: identity, device: 2, folder: scratch.url.appending(path: "kernels"))
        (proof.command, proof.limit) = (["/bin/sh", file.path], limit)
        return proof
    }

    @Test func successIsKeptForOneIdentity() throws {
        let marker = scratch.url.appending(path: "arguments").path
        let passing = try proof("echo \"$@\" > '\(marker)'; exit 0")
        #expect(passing.known == .unknown)
        #expect(passing.verdict() == .passed)
        let told = try String(contentsOfFile: marker, encoding: .utf8)
        #expect(told.hasPrefix("selftest --operations --backend cuda --device 2 --quiet --kernels "))
        // Not run again: this one would fail.
        #expect(try proof("exit 1").verdict() == .passed)
        #expect(try proof("exit 1", identity: "another driver").verdict() != .passed)
    }

    @Test func failureTellsWhyAndIsKept() throws {
        let failing = try proof("echo NVIDIA; echo 'FAIL norms: rms norm: NMSE 1'; echo '3 passed, 1 failed'; exit 70")
        #expect(failing.verdict() == .failed("the operations ended with exit 70: FAIL norms: rms norm: NMSE 1"))
        #expect(try proof("exit 0").known == failing.known)
        // Whoever asks for a new proof gets one.
        #expect(try proof("exit 0").prove() == .passed)
        #expect(failing.known == .passed)
    }

    @Test func crashIsNotAProof() throws {
        #expect(try proof("kill -ILL $$").verdict() == .failed("the operations ended with signal 4: "))
    }

    @Test func proofThatHangsIsEnded() throws {
        #expect(try proof("exec sleep 100", limit: 0.2).verdict() == .failed("the operations took more than 0.2 s"))
    }

    @Test func missingProgramIsNotAProof() throws {
        var proof = try proof("exit 0")
        proof.command = ["/nonexistent/dropreel"]
        #expect(proof.verdict() != .passed)
    }
}
