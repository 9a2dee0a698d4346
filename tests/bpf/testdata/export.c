/* export reads rules from stdin and writes the BPF program libseccomp makes of
 * them to stdout. Lines:
 *	default ACTION
 *	native NAME
 *	arch NAME
 *	tree
 *	rule ACTION SYSCALL COUNT {INDEX OP A B}...
 * Numbers are hexadecimal. It ends with 3 where libseccomp refuses a rule.
 *
 * With the arguments "numbers ARCH" it reads names of system calls and prints
 * what the architecture's numbers are. */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

static int numbers(unsigned arch)
{
	char name[64];

	while (scanf("%63s", name) == 1) {
		int nr = seccomp_syscall_resolve_name_arch(arch, name);
		if (nr == __NR_SCMP_ERROR)
			puts("unknown");
		else
			printf("%d\n", nr);
	}
	return 0;
}

int main(int argc, char **argv)
{
	char word[64], name[64];
	unsigned action, count;
	scmp_filter_ctx ctx = NULL;

	if (argc == 3 && !strcmp(argv[1], "numbers"))
		return numbers(seccomp_arch_resolve_name(argv[2]));
	while (scanf("%63s", word) == 1) {
		if (!strcmp(word, "default")) {
			if (scanf("%x", &action) != 1 || !(ctx = seccomp_init(action)))
				return 1;
		} else if (!strcmp(word, "arch")) {
			if (scanf("%63s", name) != 1)
				return 1;
			int rc = seccomp_arch_add(ctx, seccomp_arch_resolve_name(name));
			if (rc && rc != -EEXIST)
				return 2;
		} else if (!strcmp(word, "native")) {
			/* The first architecture that a filter lists is its native one. */
			if (scanf("%63s", name) != 1)
				return 1;
			unsigned arch = seccomp_arch_resolve_name(name);
			if (arch != seccomp_arch_native() &&
			    (seccomp_arch_add(ctx, arch) || seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE)))
				return 2;
		} else if (!strcmp(word, "tree")) {
			if (seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2))
				return 2;
		} else if (!strcmp(word, "rule")) {
			struct scmp_arg_cmp args[6];
			if (scanf("%x %63s %x", &action, name, &count) != 3 || count > 6)
				return 1;
			for (unsigned i = 0; i < count; i++) {
				unsigned index, op;
				unsigned long long a, b;
				if (scanf("%x %x %llx %llx", &index, &op, &a, &b) != 4)
					return 1;
				args[i] = (struct scmp_arg_cmp){index, op, a, b};
			}
			int nr = seccomp_syscall_resolve_name(name);
			if (nr == __NR_SCMP_ERROR)
				continue; /* as runc does */
			int rc = seccomp_rule_add_array(ctx, action, nr, count, args);
			if (rc) {
				fprintf(stderr, "%s: %s\n", name, strerror(-rc));
				return 3;
			}
		} else
			return 1;
	}
	return seccomp_export_bpf(ctx, 1) ? 5 : 0;
}
