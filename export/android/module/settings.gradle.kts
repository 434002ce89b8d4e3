// Read only where this folder is built alone, as its CI workflow does. An app that includes it has settings of its own.
pluginManagement {
    repositories {
        google()
        mavenCentral()
    }
    // Catalogs cannot be used this early, but their lines can be read.
    val agp = file("gradle/libs.versions.toml").readLines().first { it.startsWith("agp = ") }.split('"')[1]
    plugins {
        id("com.android.library") version agp
    }
}

dependencyResolutionManagement {
    repositoriesMode = RepositoriesMode.FAIL_ON_PROJECT_REPOS
    repositories {
        google()
        mavenCentral()
    }
    defaultLibrariesExtensionName = "{{catalog}}"
}

rootProject.name = "{{gradle_name}}"
