// swift-tools-version: 6.1
import PackageDescription

/// Floors, from the ground up (imports point down only; see ARCHITECTURE.md).
let package = Package(
    name: "dropreel",
    products: [
        .executable(name: "dropreel", targets: ["dropreel"]),
        .executable(name: "dropreel-watcher", targets: ["dropreel-watcher"]),
        // Preloaded by tests into the processes that they strike.
        .library(name: "dropreel-faults", type: .dynamic, targets: ["FaultInjector"]),
        // Stands in for CUDA's libraries in tests.
        .library(name: "dropreel-fake-cuda", type: .dynamic, targets: ["FakeCUDA"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: floor0 + floor1 + floor2 + floor3 + floor4 + floor5 + tests,
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c2x,
    cxxLanguageStandard: .cxx17
)

// MARK: Floor 0: C

var floor0: [Target] {
    [
        .systemLibrary(
            name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(
            name: "CFFmpeg", pkgConfig: "libavformat libavcodec libswscale libswresample libavutil",
            providers: [.apt(["libavformat-dev", "libavcodec-dev", "libswscale-dev", "libswresample-dev"])]),
        .systemLibrary(name: "CInotifyTools", providers: [.apt(["libinotifytools0-dev"])]),
        .target(
            name: "CImages", linkerSettings: [.linkedLibrary("jpeg"), .linkedLibrary("png16")]),
        .target(name: "CSentencePiece", linkerSettings: [.linkedLibrary("sentencepiece")]),
        .target(name: "CKernels", cSettings: [.unsafeFlags(["-O3", "-fno-math-errno"])]),
        .target(name: "CSystem"),
        // The texts of the CUDA kernels; nothing of CUDA is needed to build them in.
        .target(name: "CUDAKernels", exclude: ["kernels"]),
    ]
}

// MARK: Floor 1: bytes, tensors, media, text

var floor1: [Target] {
    [
        .target(name: "Tensors"),
        // CUDA's libraries, opened at run time.
        .target(name: "CUDADriver"),
        .target(name: "Checkpoints", dependencies: ["Tensors"]),
        .target(name: "Text", dependencies: ["CSentencePiece"]),
        .target(name: "Media", dependencies: ["CImages", "CFFmpeg", "CSystem"]),
        .target(name: "Rules"),
        .target(name: "Digests", dependencies: ["CSystem"]),
    ]
}

// MARK: Floor 2: the model and its backends, peers that do not know each other

var floor2: [Target] {
    [
        .target(name: "Sampling"),
        .target(name: "Wan", dependencies: ["Tensors", "Checkpoints", "Sampling"]),
        .target(name: "CPUBackend", dependencies: ["Tensors", "CKernels", "COpenBLAS"]),
        // What every operation of a backend must compute, naively and in double precision.
        .target(
            name: "OperationChecks", dependencies: ["Tensors"],
            // Naive loops over whole tensors: without the optimiser they would take minutes.
            swiftSettings: [.unsafeFlags(["-O"])]),
        .target(name: "CUDABackend", dependencies: ["Tensors", "CUDADriver", "CUDAKernels", "Digests"]),
        .target(name: "Intake", dependencies: ["Digests", "CSystem"]),
    ]
}

// MARK: Floor 3: a request becomes a video

var floor3: [Target] {
    [
        .target(
            name: "Generation",
            dependencies: ["Wan", "Sampling", "Tensors", "Checkpoints", "Text", "Media", "Digests"]),
        .target(
            name: "SelfTest",
            dependencies: ["Generation", "Wan", "Sampling", "Tensors", "Checkpoints", "Text", "Media"]),
        .target(
            name: "Bench",
            dependencies: [
                "Generation", "Wan", "Sampling", "Tensors", "Checkpoints", "CPUBackend", "CUDABackend", "CUDADriver",
                "COpenBLAS",
            ]),
    ]
}

// MARK: Floor 4: the folder; knows no tensor

var floor4: [Target] {
    [
        .target(
            name: "WatchFolder",
            dependencies: [
                "Intake", "Rules", "Digests", "CSystem",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ])
    ]
}

// MARK: Floor 5: the executables

var floor5: [Target] {
    [
        .executableTarget(
            name: "dropreel",
            dependencies: [
                "WatchFolder", "Rules", "Intake", "Generation", "SelfTest", "OperationChecks", "Bench", "CPUBackend",
                "CUDABackend", "CUDADriver",
                "Media", "Checkpoints", "Tensors", "Wan", "Sampling", "Text", "Digests",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        .executableTarget(name: "dropreel-watcher", dependencies: ["CInotifyTools", "CSystem"]),
    ]
}

// MARK: Tests

var tests: [Target] {
    [
        .target(name: "TestSupport", path: "Tests/TestSupport"),
        test("CheckpointsTests", ["Checkpoints", "Tensors"]),
        test("TextTests", ["Text"]),
        // The process that decodes, without the rest of the program, and what it must not be able to do.
        .executableTarget(
            name: "dropreel-decoding-child", dependencies: ["Media", "CSystem"], path: "Tests/DecodingChild"),
        test("MediaTests", ["Media", "dropreel-decoding-child"]),
        // Readers of strangers' bytes under random input; scripts/fuzz.sh runs them guided by coverage.
        .target(
            name: "FuzzTargets", dependencies: ["Checkpoints", "Media", "Rules", "TestSupport"],
            path: "Tests/Fuzz/Targets"),
        .executableTarget(name: "dropreel-fuzz", dependencies: ["FuzzTargets"], path: "Tests/Fuzz/Runner"),
        test("FuzzTests", ["FuzzTargets"]),
        // Models of random weights, small enough to run in a moment.
        .target(
            name: "TinyModels", dependencies: ["CPUBackend", "Checkpoints", "Generation", "Tensors", "TestSupport"],
            path: "Tests/TinyModels"),
        test("CPUBackendTests", ["CPUBackend", "OperationChecks", "Tensors"]),
        test("CUDABackendTests", ["CUDABackend", "CUDADriver", "OperationChecks", "Tensors"]),
        test(
            "WanTests",
            [
                "TinyModels", "Wan", "Sampling", "CPUBackend", "Checkpoints", "Tensors", "Generation", "SelfTest",
                "Text", "Media",
            ]),
        // Memory plans, exhaustion and lost GPUs, over a driver that counts and fails as told.
        .target(name: "FakeCUDA", path: "Tests/FakeCUDA"),
        test(
            "ElasticTests",
            [
                "Generation", "Wan", "Sampling", "CPUBackend", "CUDABackend", "CUDADriver", "Checkpoints", "Tensors",
                "Media", "Text", "TinyModels",
            ]),
        test("RulesTests", ["Rules"]),
        test("IntakeTests", ["Intake", "Digests", "CSystem"]),
        // The folder over a fake engine: fixtures, and whole processes to kill.
        .target(
            name: "FolderFixtures", dependencies: ["WatchFolder", "Rules", "Digests"], path: "Tests/FolderFixtures"),
        .executableTarget(
            name: "dropreel-fake",
            dependencies: ["WatchFolder", "FolderFixtures", .product(name: "Logging", package: "swift-log")],
            path: "Tests/FakeService"),
        .target(name: "FaultInjector", path: "Tests/FaultInjector"),
        test(
            "WatchFolderTests",
            [
                "WatchFolder", "Intake", "Rules", "Digests", "CSystem", "FolderFixtures", "dropreel-fake",
                .product(name: "GRDB", package: "GRDB.swift"),
            ]),
        // The folder behind a real smbd.
        .systemLibrary(
            name: "CSMBClient", path: "Tests/CSMBClient", pkgConfig: "smbclient",
            providers: [.apt(["libsmbclient-dev"])]),
        test(
            "SambaTests",
            [
                "WatchFolder", "Rules", "Digests", "FolderFixtures", "CSMBClient", "dropreel-fake", "dropreel-watcher",
                .product(name: "GRDB", package: "GRDB.swift"),
            ]),
        test("DropreelTests", ["dropreel", "Generation", "Media", "Rules", "WatchFolder"]),
    ]
}

func test(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestSupport"])
}
